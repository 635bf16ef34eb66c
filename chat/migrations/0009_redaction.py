from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("chat", "0008_facts_found")]

    operations = [
        migrations.AlterModelOptions(
            name="audit",
            options={
                "verbose_name_plural": "audit",
                "permissions": (
                    ("surgery_compact", "Can compact a conversation"),
                    ("surgery_strategy", "Can change how a conversation is compressed"),
                    ("surgery_mode", "Can change when a conversation is compressed"),
                    ("surgery_thresholds", "Can change how many messages are sent word for word"),
                    ("surgery_trim", "Can trim a conversation to its last turns"),
                    ("surgery_drop_documents", "Can take documents out of a conversation"),
                    ("surgery_model", "Can switch the model of a conversation"),
                    ("surgery_pin", "Can pin turns"),
                    ("surgery_exclude", "Can exclude turns, and include them again"),
                    ("surgery_redact", "Can remove what was said in turns, for good"),
                    ("surgery_restore", "Can send compressed turns word for word again"),
                    ("surgery_edit_summary", "Can edit a summary"),
                    ("surgery_roll_back_summary", "Can go back to an earlier version of a summary"),
                    ("surgery_rebuild_summary", "Can have a summary made anew"),
                    ("surgery_facts", "Can change what is remembered"),
                    ("surgery_cancel", "Can cancel a stuck turn"),
                    ("surgery_release", "Can release a lease"),
                    ("surgery_fork", "Can fork a copy to reproduce a problem"),
                    ("surgery_export", "Can export a conversation"),
                    ("surgery_archive", "Can archive a conversation"),
                    ("surgery_switches", "Can turn runtime switches"),
                    ("read_text", "Can read the words of users"),
                ),
                "default_permissions": ("view",),
            },
        ),
    ]
