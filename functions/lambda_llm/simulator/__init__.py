"""Simulated traffic on Lambda functions and on fleets of servers: waiting, refusals, use and cost.

`functions.simulate_functions` and `fleet.simulate_fleet` take `arrivals` and `work`, and return a `result.Result`.
"""
