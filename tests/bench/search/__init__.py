"""What `evolve bench search` compares: tasks with mock answers, real tasks made cheaper, and the model that answers."""
