"""The authorizer of API Gateway: who a request's bearer token belongs to."""
