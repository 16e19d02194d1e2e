"""Git hooks; installed as ``mftgit.hooks``. The hooks themselves come with the gate."""
