"""What a server runs: `ctxsite.serve` (daphne, what `make run` starts) or `uvicorn ctxsite.asgi:application`."""

import os

import django
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ctxsite.settings")
django.setup(set_prefix=False)

# By name, because its imports need the apps that the line above loads.
application = import_string("ctxsite.protocols.application")
