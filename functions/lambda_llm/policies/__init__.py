"""Checkov checks that verify anyone's Terraform against the one configuration in which a model runs well on Lambda.

Only `register` imports checkov; the rest needs nothing but checkov's environment and `lambda_llm.limits`.
"""
