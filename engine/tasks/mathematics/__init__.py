"""What the tasks of open problems share; each task's folder links to the files that it uses."""
