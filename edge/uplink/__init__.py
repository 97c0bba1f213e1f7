"""The way to the cloud: two logs over MQTT, and who we are to it."""
