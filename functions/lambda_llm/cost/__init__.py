"""What running a model on Lambda costs: prices with their date and source, and what follows from them."""
