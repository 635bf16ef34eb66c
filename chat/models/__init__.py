"""The rows. Text of users stands only in Turn, Step, Summary, Fact, Instructions and session titles; all of it
goes with its owner by CASCADE."""

from chat.models.memory import Fact, Notice, Summary
from chat.models.people import Allowance
from chat.models.sessions import ChatSession, Instructions, Manifest, Step, Turn
from chat.models.work import Calibration, Job, Model, Worker

__all__ = [
    "Allowance",
    "Calibration",
    "ChatSession",
    "Fact",
    "Instructions",
    "Job",
    "Manifest",
    "Model",
    "Notice",
    "Step",
    "Summary",
    "Turn",
    "Worker",
]
