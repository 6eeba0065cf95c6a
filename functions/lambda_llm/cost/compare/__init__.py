"""Every way to run a model beside the others: what each costs for one traffic, and where two cost the same."""
