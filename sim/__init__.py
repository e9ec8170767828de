"""The model: scenario → trace → simulation → records → metrics → report."""
