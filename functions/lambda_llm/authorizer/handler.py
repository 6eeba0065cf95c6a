"""The function's handler for keys: it needs nothing but what Lambda's runtime has."""

import os

from lambda_llm.authorizer import api_keys
from lambda_llm.authorizer.authorizer import Authorizer
from lambda_llm.authorizer.settings import AuthorizerSettings
from lambda_llm.telemetry import logs

logs.configure()

handle = Authorizer(api_keys.accepted(AuthorizerSettings.load(os.environ, jwt=False)))
"""`handle(event, context)`."""
