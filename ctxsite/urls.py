"""Every address of the site, by the room that answers it."""

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
    path("monitoring/", include("monitoring.urls")),
    path("", include("chat.web.urls")),
]
