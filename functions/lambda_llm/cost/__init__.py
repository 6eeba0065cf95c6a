"""What running a model on Lambda costs: prices with their date and source, and the arithmetic on them."""
