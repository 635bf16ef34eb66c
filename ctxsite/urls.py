"""Every address of the site, by the room that answers it."""

import importlib.util

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from chat.web import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
]
# Rooms that are being built beside this one.
if importlib.util.find_spec("monitoring.urls"):
    urlpatterns.append(path("monitoring/", include("monitoring.urls")))
if importlib.util.find_spec("chat.web.urls"):
    urlpatterns.append(path("", include("chat.web.urls")))
