"""Every address of the site, by the room that answers it."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from chat.web import account, health, sharing, signup
from chat.web.people import ResetForm
from monitoring import exposing

sign_in = auth.LoginView.as_view(redirect_authenticated_user=True, extra_context={"signup": settings.CHAT_SIGNUP})
reset = auth.PasswordResetView.as_view(form_class=ResetForm)

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", exposing.page, name="metrics"),
    path("accounts/login/", sign_in, name="login"),
    path("accounts/signup/", signup.signup, name="signup"),
    path("accounts/password/", reset, name="password_reset"),
    path("accounts/password/sent/", auth.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path("accounts/password/<uidb64>/<token>/", auth.PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    path("accounts/password/done/", auth.PasswordResetCompleteView.as_view(), name="password_reset_complete"),
    path("accounts/farewell/", account.farewell, name="farewell"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path("s/<str:token>/", sharing.shared, name="shared"),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("monitoring/", include("monitoring.urls")),
    path("", include("chat.web.urls")),
]
