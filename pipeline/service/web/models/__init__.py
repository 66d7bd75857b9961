"""Models of the API's requests and responses, from which its OpenAPI document is made."""
