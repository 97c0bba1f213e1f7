"""What crosses MQTT between gateway and cloud: two ordered logs of entries, and each side's cursor.

`uplog` has what a gateway tells, `downlog` what the cloud decides; an `entry` carries one such message, an
`envelope` entries and cursors. A receiver applies cursor + 1, ignores anything else, and always answers with its
cursor.
"""
