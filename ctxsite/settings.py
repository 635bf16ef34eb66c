"""Settings, and the only reader of the environment.

Everything of ours begins with CHAT_ or MONITORING_ and is listed with its default in docs/configuration.md
(a test compares the two). The names that Django, the SDK and hosting platforms already know keep theirs:
DJANGO_SECRET_KEY, DJANGO_SECRET_KEY_FALLBACKS, DJANGO_DEBUG, DJANGO_ALLOWED_HOSTS, DJANGO_CSRF_TRUSTED_ORIGINS,
DATABASE_URL, HOST, PORT,
DJANGO_SUPERUSER_USERNAME, DJANGO_SUPERUSER_PASSWORD, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL.
"""

import importlib.util
import logging
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from ctxsite import databases, logs, secret

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- where state lives -------------------------------------------------------------------------------------

CHAT_VAR_DIR = Path(env.str("CHAT_VAR_DIR", default=str(BASE_DIR / "var")))
CHAT_VAR_DIR.mkdir(parents=True, exist_ok=True)

# --- Django ------------------------------------------------------------------------------------------------

DEBUG = env.bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="") or secret.key_in(CHAT_VAR_DIR)
# Keys of before: what they signed stays good, nothing new is signed with them.
SECRET_KEY_FALLBACKS = env.list("DJANGO_SECRET_KEY_FALLBACKS", default=[])

SERVE_HOST = env.str("HOST", default="127.0.0.1")
SERVE_PORT = env.int("PORT", default=8000)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=list(LOOPBACK))
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])

# A browser never sends a Secure cookie back over plain http, so on loopback nobody could sign in.
CHAT_SECURE_COOKIES = env.bool(
    "CHAT_SECURE_COOKIES", default=not DEBUG and not all(host in LOOPBACK for host in ALLOWED_HOSTS)
)
# Trust X-Forwarded-Proto and -For: only behind a proxy that sets both itself.
CHAT_TRUST_PROXY = env.bool("CHAT_TRUST_PROXY", default=False)
# Full origins (scheme, host, port) that may open a websocket.
CHAT_ORIGINS = env.list(
    "CHAT_ORIGINS",
    default=[
        *CSRF_TRUSTED_ORIGINS,
        *(f"https://{host}" for host in ALLOWED_HOSTS if host not in (*LOOPBACK, "*")),
        *(f"http://{host}:{SERVE_PORT}" for host in LOOPBACK),
    ],
)

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CHAT_SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31_536_000 if CHAT_SECURE_COOKIES else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CHAT_TRUST_PROXY else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

INSTALLED_APPS = [
    "chat",
    "monitoring",
    "ctxsite.administration.Administration",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_htmx",
    "django_structlog",
    "heroicons",
    "template_partials",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "ctxsite.compressing.CompressingMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "chat.web.readonly.reading_only",
    "ctxsite.rotation.renewing",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "ctxsite.urls"
ASGI_APPLICATION = "ctxsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- database ----------------------------------------------------------------------------------------------

CHAT_DATABASE_THREADS = env.int("CHAT_DATABASE_THREADS", default=4)
CHAT_DATABASE_POOL = env.int("CHAT_DATABASE_POOL", default=10)

DATABASES = {
    "default": databases.tuned(
        env.db_url("DATABASE_URL", default=f"sqlite:///{CHAT_VAR_DIR / 'db.sqlite3'}"),
        directory=CHAT_VAR_DIR,
        threads=CHAT_DATABASE_THREADS,
        pool=CHAT_DATABASE_POOL,
    )
}

# --- people ------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

# Letters: where they go (smtp://name:password@host:port, smtp+tls://..., or to standard output) and who they are from.
CHAT_EMAIL_URL = env.email_url("CHAT_EMAIL_URL", default="consolemail://")
CHAT_EMAIL_FROM = env.str("CHAT_EMAIL_FROM", default="chat@localhost")
EMAIL_BACKEND = CHAT_EMAIL_URL["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = CHAT_EMAIL_URL["EMAIL_HOST"], CHAT_EMAIL_URL["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = CHAT_EMAIL_URL["EMAIL_HOST_USER"], CHAT_EMAIL_URL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = CHAT_EMAIL_URL.get("EMAIL_USE_TLS", False), CHAT_EMAIL_URL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = CHAT_EMAIL_FROM
# A link in a letter is good for a day.
PASSWORD_RESET_TIMEOUT = 86_400

# The administrator that `make run` makes on its first start.
SUPERUSER_NAMED = "DJANGO_SUPERUSER_USERNAME" in env
SUPERUSER_USERNAME = env.str("DJANGO_SUPERUSER_USERNAME", default="admin")
SUPERUSER_PASSWORD = env.str("DJANGO_SUPERUSER_PASSWORD", default="")

AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
# The pair, not the name alone: else anybody could lock anybody out.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
# A client can write X-Forwarded-For itself: counting by it would let it start afresh with every attempt.
AXES_IPWARE_META_PRECEDENCE_ORDER = [*(["HTTP_X_FORWARDED_FOR"] if CHAT_TRUST_PROXY else []), "REMOTE_ADDR"]
AXES_IPWARE_PROXY_COUNT = 1 if CHAT_TRUST_PROXY else None

# --- what a page may do ------------------------------------------------------------------------------------

# One policy for every page, admin included; no exception, no report-only.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}

# --- static files ------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
CHAT_STATIC_DIR = Path(env.str("CHAT_STATIC_DIR", default=str(BASE_DIR / "static-collected")))
STATIC_ROOT = CHAT_STATIC_DIR


def _chart_directory() -> Path:
    """Where django-unfold keeps its copy of Chart.js. The package is a shelf here, not an installed app."""
    spec = importlib.util.find_spec("unfold")
    if spec is None or spec.origin is None:
        raise ImproperlyConfigured("django-unfold is not installed: run `make run` or install requirements.txt.")
    return Path(spec.origin).parent / "static" / "unfold" / "js" / "chart"


STATICFILES_DIRS = [BASE_DIR / "static", ("vendor/chart", _chart_directory())]

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "ctxsite.static.HashedStorage"},
}
# Straight from the sources until `collectstatic` (which `make run` calls) has written its manifest.
SERVESTATIC_USE_MANIFEST = not DEBUG and (STATIC_ROOT / "staticfiles.json").exists()
SERVESTATIC_USE_FINDERS = not SERVESTATIC_USE_MANIFEST
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_ALLOW_ALL_ORIGINS = False

# --- language and time -------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "ctxsite" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- logs --------------------------------------------------------------------------------------------------

CHAT_LOG_LEVEL = env.str("CHAT_LOG_LEVEL", default="INFO").upper()
LOGGING = logs.configuration(level=CHAT_LOG_LEVEL, readable=DEBUG)
logs.configure()
# One line a request, at its end; no addresses, which a client could forge and nobody needs.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False

# --- the model ---------------------------------------------------------------------------------------------

ANTHROPIC_API_KEY = env.str("ANTHROPIC_API_KEY", default="")
ANTHROPIC_BASE_URL = env.str("ANTHROPIC_BASE_URL", default="")
# A file that holds the key, and may be replaced while the site runs.
CHAT_API_KEY_FILE = env.str("CHAT_API_KEY_FILE", default="")
# Replies come from the local stand-in when there is nobody else to ask.
CHAT_STANDIN = env.bool("CHAT_STANDIN", default=not (ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL or CHAT_API_KEY_FILE))
CHAT_STANDIN_DELAY_MS = env.int("CHAT_STANDIN_DELAY_MS", default=20)
CHAT_MODEL_CONNECT_S = env.float("CHAT_MODEL_CONNECT_S", default=5.0)
CHAT_MODEL_FIRST_S = env.float("CHAT_MODEL_FIRST_S", default=30.0)
CHAT_MODEL_CONTENT_S = env.float("CHAT_MODEL_CONTENT_S", default=60.0)
CHAT_MODEL_WHOLE_S = env.float("CHAT_MODEL_WHOLE_S", default=600.0)

CHAT_MODEL = env.str("CHAT_MODEL", default="claude-opus-4-6")
CHAT_SUMMARY_MODEL = env.str("CHAT_SUMMARY_MODEL", default="claude-haiku-4-5-20251001")
# What a conversation may be switched to, CHAT_MODEL first.
CHAT_MODELS = list(
    dict.fromkeys(
        [
            CHAT_MODEL,
            *env.list("CHAT_MODELS", default=["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"]),
        ]
    )
)
# How conversations get their titles: by a model in the background, by their first words alone, or not at all.
CHAT_TITLES = env.str("CHAT_TITLES", default="model")
if CHAT_TITLES not in ("model", "code", "off"):
    raise ImproperlyConfigured("CHAT_TITLES: model, code or off.")
CHAT_INSTRUCTIONS = env.str(
    "CHAT_INSTRUCTIONS",
    default="You are a helpful assistant in a long-running conversation. Answer plainly and to the point, in the"
    " user's language. Use markdown where it helps. When something is not in your context, say so instead of"
    " guessing.",
)

# --- the context (tokens, unless the name says otherwise) ---------------------------------------------------

# None: what the Models API says. Small on the stand-in, so that the first compaction comes within minutes.
CHAT_CONTEXT_WINDOW = env.int("CHAT_CONTEXT_WINDOW", default=16_000 if CHAT_STANDIN else None)
CHAT_BUDGET = env.str("CHAT_BUDGET", default="")
CHAT_RESPONSE_TOKENS = env.int("CHAT_RESPONSE_TOKENS", default=None)
# What extended thinking may take of one reply.
CHAT_THINKING_TOKENS = env.int("CHAT_THINKING_TOKENS", default=8_000)
CHAT_STRATEGY = env.str("CHAT_STRATEGY", default="summary")
CHAT_WINDOW_MESSAGES = env.int("CHAT_WINDOW_MESSAGES", default=20)
CHAT_BATCH_MESSAGES = env.int("CHAT_BATCH_MESSAGES", default=10)
CHAT_LOAD_MESSAGES = env.int("CHAT_LOAD_MESSAGES", default=40)
CHAT_LOAD_TOKENS = env.int("CHAT_LOAD_TOKENS", default=80_000)
CHAT_SOFT_MARK = env.float("CHAT_SOFT_MARK", default=0.60)
CHAT_HIGH_MARK = env.float("CHAT_HIGH_MARK", default=0.75)
CHAT_HARD_MARK = env.float("CHAT_HARD_MARK", default=0.90)
CHAT_KEEP_TURNS = env.int("CHAT_KEEP_TURNS", default=4)
CHAT_KEEP_SHARE = env.float("CHAT_KEEP_SHARE", default=0.5)
CHAT_SUMMARY_TOKENS = env.int("CHAT_SUMMARY_TOKENS", default=400)
CHAT_INLINE_DEADLINE_S = env.float("CHAT_INLINE_DEADLINE_S", default=8.0)
CHAT_CACHE_TTL = env.str("CHAT_CACHE_TTL", default="5m")
CHAT_MAX_MESSAGE_CHARS = env.int("CHAT_MAX_MESSAGE_CHARS", default=2_000_000)

# --- the process -------------------------------------------------------------------------------------------

# Between processes: redis://... or nothing, and then rows are polled.
REDIS_URL = env.str("REDIS_URL", default="")
# By name, because they load the driver: 9 MB that a process without Redis does not need.
CHAT_IN_REDIS = {
    "bus": "chat.stream.redisbus.RedisBus",
    "windows": "chat.store.rediswindows.RedisRecent",
    "rates": "chat.store.redisrates.RedisRates",
}
CHAT_WINDOW_CACHE_S = env.int("CHAT_WINDOW_CACHE_S", default=600)
# Where the administration finds how full a conversation is, and what calls cost: by name, because the chat knows
# nothing of monitoring.
CHAT_GAUGE_MODEL = "monitoring.SessionGauge"
CHAT_CALL_MODEL = "monitoring.ModelCall"
CHAT_RUNNER = env.bool("CHAT_RUNNER", default=True)
CHAT_RUNNER_SLOTS = env.int("CHAT_RUNNER_SLOTS", default=200)
CHAT_LEASE_S = env.float("CHAT_LEASE_S", default=15.0)
CHAT_BEAT_S = env.float("CHAT_BEAT_S", default=5.0)
CHAT_REAP_S = env.float("CHAT_REAP_S", default=5.0)
CHAT_DRAIN_S = env.float("CHAT_DRAIN_S", default=25.0)
CHAT_SWEEP_S = env.float("CHAT_SWEEP_S", default=30.0)
CHAT_UNDO_S = env.float("CHAT_UNDO_S", default=600.0)
CHAT_TEMPORARY_S = env.float("CHAT_TEMPORARY_S", default=86_400.0)
CHAT_FLUSH_MS = env.int("CHAT_FLUSH_MS", default=50)
CHAT_IMPORT_MB = env.int("CHAT_IMPORT_MB", default=200)
CHAT_SIGNUP = env.bool("CHAT_SIGNUP", default=False)

# --- what one person may use (0: no limit) -------------------------------------------------------------------

CHAT_MESSAGES_PER_MINUTE = env.int("CHAT_MESSAGES_PER_MINUTE", default=30)
CHAT_LIVE_TURNS = env.int("CHAT_LIVE_TURNS", default=2)
CHAT_TOKENS_PER_DAY = env.int("CHAT_TOKENS_PER_DAY", default=0)
CHAT_SPEND_PER_DAY = env.float("CHAT_SPEND_PER_DAY", default=0.0)

# --- monitoring --------------------------------------------------------------------------------------------

# Whoever bears it may read /metrics; without one only operators may.
MONITORING_METRICS_TOKEN = env.str("MONITORING_METRICS_TOKEN", default="")
# Where a process without pages tells its numbers.
MONITORING_METRICS_ADDRESS = env.str("MONITORING_METRICS_ADDRESS", default="")
# Spans and metrics by OpenTelemetry. By name, because the module loads its SDK.
MONITORING_OTEL = env.bool("MONITORING_OTEL", default=False)
MONITORING_TELEMETRY = "monitoring.telemetry.start"
# Rollups, alerts and retention in the web process; else `check_alerts --loop` does them.
MONITORING_LOOP = env.bool("MONITORING_LOOP", default=True)
# Days that calls, and events, are kept; 0: for ever.
MONITORING_KEEP_DAYS = env.int("MONITORING_KEEP_DAYS", default=90)
MONITORING_KEEP_EVENTS_DAYS = env.int("MONITORING_KEEP_EVENTS_DAYS", default=400)
# Who is told of alerts. Only here: whoever could change an address in a page could have the server ask for it.
MONITORING_ALERT_EMAILS = env.list("MONITORING_ALERT_EMAILS", default=[])
MONITORING_ALERT_WEBHOOKS = env.list("MONITORING_ALERT_WEBHOOKS", default=[])
MONITORING_WEBHOOK_SECRET = env.str("MONITORING_WEBHOOK_SECRET", default="")
MONITORING_WEBHOOK_HOSTS = env.list("MONITORING_WEBHOOK_HOSTS", default=[])
# Where links in messages lead, and where what to do about an alert is written down ('' is our own page).
MONITORING_URL = env.str("MONITORING_URL", default=f"http://{SERVE_HOST}:{SERVE_PORT}").rstrip("/")
MONITORING_RUNBOOK = env.str("MONITORING_RUNBOOK", default="")

# --- attachments -------------------------------------------------------------------------------------------

CHAT_MAX_UPLOAD_BYTES = env.int("CHAT_MAX_UPLOAD_BYTES", default=10 * 1024 * 1024)
CHAT_MAX_DOCUMENT_CHARS = env.int("CHAT_MAX_DOCUMENT_CHARS", default=2_000_000)
CHAT_MAX_DOCUMENT_PAGES = env.int("CHAT_MAX_DOCUMENT_PAGES", default=1_000)
CHAT_MAX_DOCUMENTS = env.int("CHAT_MAX_DOCUMENTS", default=20)
CHAT_UPLOAD_READ_S = env.float("CHAT_UPLOAD_READ_S", default=20.0)
CHAT_UPLOADS_PER_MINUTE = env.int("CHAT_UPLOADS_PER_MINUTE", default=60)

CHAT_BENCH_DATA = Path(env.str("CHAT_BENCH_DATA", default=str(BASE_DIR.parent / "shared" / "data")))
