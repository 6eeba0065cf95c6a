"""Checkov checks that hold anyone's Terraform to the one configuration in which a model runs well on Lambda.

Only `register` knows checkov; nothing here needs more than checkov's own environment and `lambda_llm.limits`.
"""
