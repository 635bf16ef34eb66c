"""Django's administration with our own front door: see `adminsite`."""

from django.contrib.admin.apps import AdminConfig


class Administration(AdminConfig):
    """In INSTALLED_APPS instead of `django.contrib.admin`."""

    default_site = "ctxsite.adminsite.FrontDoor"
