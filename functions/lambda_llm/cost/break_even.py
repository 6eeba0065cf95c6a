"""From which utilization on a server that is paid by the hour is cheaper than functions that are paid while busy."""


def utilization(hourly: float, busy_hourly: float, throughput_ratio: float) -> float:
    """The utilization above which the server is cheaper: `u* = hourly / (busy_hourly * throughput_ratio)`.

    Utilization is the time that one function would be busy with all requests, as a part of the time that passes. At 0.2
    a function works 12 minutes of an hour, and a server whose u* is above 0.2 costs more than it. A result above 1 is a
    server that several functions at once are still cheaper than.

    Args:
        hourly: what the server costs in an hour, busy or not, in US dollars.
        busy_hourly: what a function costs in an hour in which it is always busy, in US dollars.
        throughput_ratio: how many times the function's work the server does in the same time, for such requests.

    Raises:
        ValueError: an argument is not positive.
    """
    if min(hourly, busy_hourly, throughput_ratio) <= 0:
        raise ValueError("The prices and the ratio must be above zero.")
    return hourly / (busy_hourly * throughput_ratio)
