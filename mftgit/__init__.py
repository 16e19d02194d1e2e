"""A managed-file-transfer cluster whose whole configuration lives in one git repository.

A change travels this way, and the modules are named after the stations::

    push -> controller.gate.receive -> model.rules.validate -> controller.gate.publish
         -> controller.members.notify -> member.fetch -> member.verify -> member.activate
         -> member.outbound.service -> member.outbound.run -> adapters.events.store
         -> member.report -> controller.members.collect
"""

from loguru import logger

__version__ = "0.1.0"

logger.disable(__name__)  # silent in a program that imports us; see mftgit.logs
