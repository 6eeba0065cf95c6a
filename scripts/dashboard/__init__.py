"""What modules/observability draws, asks and watches, evaluated over lines as CloudWatch would."""
