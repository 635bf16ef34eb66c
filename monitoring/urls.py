"""Addresses under /monitoring/."""

from django.urls import path

from monitoring import alertpages, lists, overview, people, views

app_name = "monitoring"
urlpatterns = [
    path("", overview.index, name="index"),
    path("charts/<slug:code>/", overview.chart, name="chart"),
    path("charts/<slug:code>.csv", overview.chart_csv, name="chart_csv"),
    path("sessions/", lists.sessions, name="sessions"),
    path("sessions.csv", lists.sessions_csv, name="sessions_csv"),
    path("sessions/<uuid:session>/", views.session, name="session"),
    path("sessions/<uuid:session>/turns.csv", views.turns_csv, name="turns_csv"),
    path("sessions/<uuid:session>/events.csv", views.events_csv, name="events_csv"),
    path("users/", lists.users, name="users"),
    path("users.csv", lists.users_csv, name="users_csv"),
    path("users/<int:user>/", people.user, name="user"),
    path("mine/", people.mine, name="mine"),
    path("alerts/", alertpages.index, name="alerts"),
    path("alerts.csv", alertpages.alerts_csv, name="alerts_csv"),
    path("alerts/test/", alertpages.test, name="alert_test"),
    path("alerts/runbook/", alertpages.runbook, name="alert_runbook"),
    path("alerts/rules/new/", alertpages.rule_new, name="alert_rule_new"),
    path("alerts/rules/<slug:code>/", alertpages.rule, name="alert_rule"),
    path("alerts/<int:pk>/", alertpages.alert, name="alert"),
    path("alerts/<int:pk>/acknowledge/", alertpages.acknowledge, name="alert_acknowledge"),
    path("alerts/<int:pk>/resolve/", alertpages.resolve, name="alert_resolve"),
]
