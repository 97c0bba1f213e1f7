"""Register profiles 寄存器档案, one file a model; `protocols.modbus.profile` reads them."""
