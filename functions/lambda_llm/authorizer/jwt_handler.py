"""The function's handler for keys, JWTs, or both."""

import os

from lambda_llm.authorizer import api_keys, jwts
from lambda_llm.authorizer.authorizer import Authorizer
from lambda_llm.authorizer.settings import AuthorizerSettings
from lambda_llm.telemetry import logs

logs.configure()
_settings = AuthorizerSettings.load(os.environ, jwt=True)

handle = Authorizer([*api_keys.accepted(_settings), *jwts.accepted(_settings)])
"""`handle(event, context)`."""
