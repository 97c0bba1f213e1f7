"""Staff: users with roles and scopes, their passwords, second factors and sessions."""
