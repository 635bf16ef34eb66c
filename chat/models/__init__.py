"""The rows. Text of users stands only in Turn, Step, Thought, Summary, Fact, Document, Instructions, what is
being imported, the names of presets and session titles; all of it goes with its owner by CASCADE."""

from chat.models.documents import Document
from chat.models.logins import SignIn
from chat.models.memory import Fact, Notice, Summary
from chat.models.moving import Import, ImportItem
from chat.models.people import Allowance, Preference, Preset
from chat.models.sessions import ChatSession, Instructions, Manifest, Step, Thought, Turn
from chat.models.sharing import Feedback, Share
from chat.models.surgery import Audit, Batch, BatchItem
from chat.models.switches import Switches
from chat.models.work import Calibration, Job, Model, Worker

__all__ = [
    "Allowance",
    "Audit",
    "Batch",
    "BatchItem",
    "Calibration",
    "ChatSession",
    "Document",
    "Fact",
    "Feedback",
    "Import",
    "ImportItem",
    "Instructions",
    "Job",
    "Manifest",
    "Model",
    "Notice",
    "Preference",
    "Preset",
    "Share",
    "SignIn",
    "Step",
    "Summary",
    "Switches",
    "Thought",
    "Turn",
    "Worker",
]
