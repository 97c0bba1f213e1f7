"""Looking for meters on a line, protocol by protocol: edge.technician.scan goes through them."""
