"""The pages people look at: manager 物业, tenant 住户; rendered by the server, kept live by server-sent events."""
