"""The addresses of the chat's pages and of the parts that htmx fetches."""

from django.urls import path

from chat.web import account, attachments, giving, moving, sharing, turning, views

app_name = "chat"

urlpatterns = [
    path("", views.home, name="home"),
    path("new/", views.new, name="new"),
    path("c/", views.rows, name="rows"),
    path("c/<uuid:session_id>/", views.conversation, name="conversation"),
    path("c/<uuid:session_id>/earlier/", views.earlier, name="earlier"),
    path("c/<uuid:session_id>/turns/", views.send, name="turns"),
    path("c/<uuid:session_id>/turns/around/", views.around, name="around"),
    path("c/<uuid:session_id>/turns/rest/", views.rest, name="rest"),
    path("c/<uuid:session_id>/turns/switch/", turning.switch, name="switch"),
    path("c/<uuid:session_id>/turns/<int:turn_id>/", views.turn, name="turn"),
    path("c/<uuid:session_id>/turns/<int:turn_id>/fork/", turning.fork, name="fork"),
    path("c/<uuid:session_id>/turns/<int:turn_id>/menu/", turning.menu, name="menu"),
    path("c/<uuid:session_id>/turns/<int:turn_id>/feedback/", turning.feedback, name="feedback"),
    path("c/<uuid:session_id>/turns/<int:turn_id>/stop/", views.stop, name="stop"),
    path("c/<uuid:session_id>/documents/", attachments.attach, name="attach"),
    path("c/<uuid:session_id>/documents/<int:document_id>/remove/", attachments.detach, name="detach"),
    path("c/<uuid:session_id>/rename/", views.rename, name="rename"),
    path("c/<uuid:session_id>/options/", views.options, name="options"),
    path("c/<uuid:session_id>/delete/", views.delete, name="delete"),
    path("c/<uuid:session_id>/share/", sharing.share, name="share"),
    path("c/<uuid:session_id>/export.md", giving.export, {"form": "md"}, name="export-markdown"),
    path("c/<uuid:session_id>/export.json", giving.export, {"form": "json"}, name="export-json"),
    path("documents/", attachments.attach_first, name="attach-first"),
    path("count/", attachments.count, name="count"),
    path("import/", moving.upload, name="imports"),
    path("import/<uuid:import_id>/", moving.show, name="import"),
    path("import/<uuid:import_id>/take/", moving.take, name="import-take"),
    path("import/<uuid:import_id>/drop/", moving.drop, name="import-drop"),
    path("account/", account.account, name="account"),
    path("account/password/", account.password, name="password"),
    path("account/email/", account.email, name="email"),
    path("account/email/forget/", account.email_forget, name="email-forget"),
    path("account/email/<str:token>/", account.email_confirm, name="email-confirm"),
    path("account/sign-ins/others/", account.sign_out_others, name="sign-out-others"),
    path("account/sign-ins/<int:sign_in_id>/", account.sign_out, name="sign-out"),
    path("account/keep/", account.keep, name="keep"),
    path("account/delete/", account.delete, name="delete-account"),
    path("account/download/", giving.everything, name="download"),
]
