"""Taking an upload in, conversation by conversation, beside other jobs: a slice at a time, so that none waits long."""

import asyncio
from uuid import UUID

from chat.flow.engine import Engine
from chat.models import Job
from chat.store import leases
from chat.store.leases import Claim
from chat.store.portable import staging

KIND = "import"
SLICE_S = 5.0
# Somebody's reply waits for a compaction; nobody's waits for this.
PRIORITY = -1


def enqueue(upload_id: UUID) -> None:
    """Let an import that was begun be taken, or go on. In the caller's transaction."""
    leases.enqueue(KIND, priority=PRIORITY, upload=str(upload_id))


async def run_job(claim: Claim, engine: Engine) -> str:
    """The job: take conversations until the slice is over; what is left is another job. A crash loses nothing."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SLICE_S
    upload_id = UUID(await engine.database.read(_upload_of, claim.id))
    while one := await engine.database.read(staging.waiting, upload_id):
        await engine.database.run(staging.take, one)
        if loop.time() > until:
            await engine.database.run(enqueue, upload_id)
            return ""
    await engine.database.run(staging.finish, upload_id)
    return ""


def _upload_of(job_id: int) -> str:
    return Job.objects.values_list("args", flat=True).get(pk=job_id)["upload"]
