from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0006_switches")]

    operations = [
        migrations.AddField(model_name="batchitem", name="seconds", field=models.FloatField(blank=True, null=True)),
        migrations.AddField(
            model_name="chatsession",
            name="soft_mark",
            field=models.SmallIntegerField(
                blank=True, help_text="Percent of the room from which it is compressed.", null=True
            ),
        ),
        migrations.AddField(
            model_name="chatsession",
            name="hard_mark",
            field=models.SmallIntegerField(
                blank=True, help_text="Percent of the room from which a reply waits.", null=True
            ),
        ),
    ]
