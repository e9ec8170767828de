"""Behind the portal: what officers do with the dossiers that citizens file."""
