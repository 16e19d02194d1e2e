"""What a revision comes to on one member, and what another one changes there."""
