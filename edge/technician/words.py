"""The Chinese beside the English: names of fields, functions and errors, as data.

Those of the items of DL/T 645 stand beside their table, in `protocols.dlt645.names`.
"""

from __future__ import annotations

FUNCTIONS = {
    # DL/T 645
    "security authentication": "安全认证",
    "broadcast time": "广播校时",
    "read data": "读数据",
    "read subsequent": "读后续数据",
    "re-read": "重读数据",
    "read address": "读通信地址",
    "write data": "写数据",
    "write address": "写通信地址",
    "freeze": "冻结命令",
    "change baud rate": "更改通信速率",
    "change password": "修改密码",
    "max demand reset": "最大需量清零",
    "meter clear": "电表清零",
    "event clear": "事件清零",
    "relay control": "跳合闸、报警、保电",
    "multi-function terminal output": "多功能端子输出控制",
    # CJ/T 188
    "read": "读数据",
    "read_address": "读地址",
    "write": "写数据",
    "read_key_version": "读密钥版本号",
    "write_address": "写地址",
    "write_motor_sync": "写机电同步数",
    # Modbus
    "read coils": "读线圈",
    "read discrete inputs": "读离散输入",
    "read holding registers": "读保持寄存器",
    "read input registers": "读输入寄存器",
    "write one coil": "写单个线圈",
    "write one register": "写单个寄存器",
    "write coils": "写多个线圈",
    "write registers": "写多个寄存器",
}

ERRORS = {
    "other error": "其他错误",
    "no such data": "无请求数据",
    "password wrong or not authorised": "密码错或未授权",
    "baud rate cannot change": "通信速率不能更改",
    "too many year zones": "年时区数超",
    "too many day periods": "日时段数超",
    "too many tariffs": "费率数超",
    "illegal data": "非法数据",
    "data identifier error": "数据标识错",
    "password wrong": "密码错",
    "reserved": "保留",
    # Relay
    "meter suspended": "电能表挂起",
    "MAC check failed": "MAC 校验失败",
    "password": "密码错",
    "authentication expired": "身份认证失效",
    "deadline invalid": "命令截止时间无效",
    "trip refused: keep power": "保电状态，拒绝跳闸",
    "auto-restore refused: keep power": "保电状态，拒绝自动恢复",
    "restore time invalid": "恢复时间无效",
    "auto-restore refused: already open": "已跳闸，拒绝自动恢复",
    # Modbus
    "illegal function": "非法功能码",
    "illegal data address": "非法数据地址",
    "illegal data value": "非法数据值",
    "device failure": "设备故障",
    "acknowledge": "已确认，处理中",
    "device busy": "设备忙",
    "negative acknowledge": "否定确认",
    "memory parity error": "存储奇偶错",
    "gateway path unavailable": "网关路径不可用",
    "gateway target did not respond": "网关目标设备无响应",
}

RELAY_COMMANDS = {
    "trip": "跳闸",
    "close permit": "合闸允许",
    "direct close": "直接合闸",
    "timed trip then direct close": "跳闸，到时直接合闸",
    "timed trip then close permit": "跳闸，到时合闸允许",
    "alarm on": "报警",
    "alarm off": "报警解除",
    "keep power on": "保电",
    "keep power off": "保电解除",
}

METER_TYPES = {
    0x10: ("cold water", "冷水水表"),
    0x11: ("hot water", "生活热水水表"),
    0x12: ("drinking water", "直饮水水表"),
    0x13: ("reclaimed water", "中水水表"),
    0x20: ("heat", "热量表（计热量）"),
    0x21: ("cooling", "热量表（计冷量）"),
    0x22: ("heat and cooling", "冷热量表"),
    0x25: ("heat or cooling (vendor)", "冷热量表（厂家）"),
    0x30: ("gas", "燃气表"),
    0x40: ("electricity", "电度表"),
    0xAA: ("any type", "任意类型"),
}
"""T of CJ/T 188."""

CJ188_FIELDS = {
    "current": ("total now", "当前累计流量"),
    "settlement": ("total at the settlement day", "结算日累积流量"),
    "settlement_energy": ("energy at the settlement day", "结算日热量"),
    "settlement_heat": ("heat at the settlement day", "结算日热量"),
    "settlement_cold": ("cooling at the settlement day", "结算日冷量"),
    "current_energy": ("energy now", "当前热量"),
    "current_heat": ("heat now", "当前热量"),
    "current_cold": ("cooling now", "当前冷量"),
    "heat": ("heat", "热量"),
    "cold": ("cooling", "冷量"),
    "power": ("thermal power", "热功率"),
    "flow_rate": ("flow rate", "流速"),
    "total_flow": ("total flow", "累积流量"),
    "supply_temp": ("supply temperature", "供水温度"),
    "return_temp": ("return temperature", "回水温度"),
    "supply_pressure": ("supply pressure", "供水压力"),
    "return_pressure": ("return pressure", "回水压力"),
    "temp": ("temperature", "温度"),
    "pressure": ("pressure", "压力"),
    "hours": ("working hours", "累积工作时间"),
    "time": ("clock", "实时时间"),
    "st": ("status", "状态 ST"),
    "price1": ("price 1", "价格一"),
    "price2": ("price 2", "价格二"),
    "price3": ("price 3", "价格三"),
    "volume1": ("volume 1", "用量一"),
    "volume2": ("volume 2", "用量二"),
    "settlement_day": ("settlement day", "结算日"),
    "reading_day": ("reading day", "抄表日"),
    "day": ("day", "日"),
    "purchase_no": ("purchase number", "购买序号"),
    "this_purchase": ("this purchase", "本次购入金额"),
    "total_purchase": ("purchased in total", "累计购入金额"),
    "remaining": ("remaining amount", "剩余金额"),
    "amount": ("amount", "金额"),
    "key_version": ("key version", "密钥版本号"),
    "key": ("key", "密钥"),
    "base": ("meter base", "当前累积流量（机电同步）"),
    "value": ("total of the month", "月结算累积量"),
    "valve_cmd": ("valve command", "阀门控制"),
    "address_in_data": ("address", "地址"),
    "new_address": ("new address", "新地址"),
    "extra": ("vendor's own", "厂家自定义"),
}
"""Field of `protocols.cj188.items`: English, Chinese."""

CJ188_ITEMS = {
    0x901F: ("current data", "计量数据"),
    0x911F: ("current data, heat and cooling", "冷热计量数据"),
    0x810A: ("address", "地址"),
    0x8102: ("price table", "价格表"),
    0x8103: ("settlement day", "结算日"),
    0x8104: ("reading day", "抄表日"),
    0x8105: ("purchase and remaining amount", "购入金额"),
    0x8106: ("key version", "密钥版本号"),
    0xA010: ("write price table", "写价格表"),
    0xA011: ("write settlement day", "写结算日"),
    0xA012: ("write reading day", "写抄表日"),
    0xA013: ("write purchase", "写购入金额"),
    0xA014: ("write key", "写新密钥"),
    0xA015: ("write clock", "写标准时间"),
    0xA016: ("write meter base", "写机电同步数据"),
    0xA017: ("write valve", "写阀门控制"),
    0xA018: ("write address", "写地址"),
    0xA019: ("leave factory mode", "出厂启用"),
    **{0xD120 + n: (f"settlement {n + 1} months ago", f"上{n + 1}月结算日数据") for n in range(12)},
}


def beside(english: str, table: dict[str, str]) -> str:
    """ "read data 读数据"; the English alone where the table does not know it."""
    return f"{english} {table[english]}" if english in table else english
