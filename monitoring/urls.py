"""Addresses under /monitoring/."""

from django.urls import path

from monitoring import views

app_name = "monitoring"
urlpatterns = [
    path("", views.index, name="index"),
    path("sessions/<uuid:session>/", views.session, name="session"),
    path("sessions/<uuid:session>/turns.csv", views.turns_csv, name="turns_csv"),
    path("sessions/<uuid:session>/events.csv", views.events_csv, name="events_csv"),
]
