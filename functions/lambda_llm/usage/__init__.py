"""What was spent, by the lines that the functions write and by AWS's bill."""
