"""The field table of the estimator's buffer: what lies where. Kernel, NumPy form and read-out all use these numbers.

The buffer is one flat float64 array, blocks of LANES cells: value of field f, cell n = buffer[(n // LANES) * WIDTH +
f * LANES + n % LANES]. One block is a run of whole cache lines, so that the compiler sees constant distances and
vectorises without alias checks. All currents and capacities in it are those of ONE cell (group / parallel).
"""

import numpy as np

LANES = 16

NAMES = (
    "z", "s1", "s2", "h", "k", "b",  # SOC, currents through R1 and R2, hysteresis, resistance scale, offset
    "p00", "p01", "p02", "p03", "p04", "p05",  # covariance, upper triangle in the order of the state
    "p11", "p12", "p13", "p14", "p15",
    "p22", "p23", "p24", "p25",
    "p33", "p34", "p35",
    "p44", "p45",
    "p55",
    "capacity",  # Ah of one cell, as the filter uses it
    "last_i",  # A: current at the last step
    "strain",  # 1: mean of innovation² over what sigma promises; far above 1 = diverging
    "quiet_s",  # s: how long the current has been small and steady
    "quiet_i",  # A: its mean over that time
    "model_v",  # V: what the model said before the voltage spoke
    "busy",  # A²: mean square of the current over the slow time constant
    "restless",  # A²: how far current strays from its mean between rows more than HOLD_S apart
    # what a constant error does to SOC by now: of a volt, of capacity (relative), of the first SOC (times its sigma)
    "react_v", "react_q", "start_z",
    "doubt_q",  # relative sigma of the capacity that the filter uses, and of the gain of the current sensor
    "per_As",  # 1/(3600 capacity)
    "dt", "left1", "left2",  # s: the step that these were made for: what is left of each polarisation after it
    "per_parallel",  # 1 over the cells side by side: readings are those of the group
    # inputs of one step
    "in_v", "in_i", "in_c", "in_degC", "in_known", "in_zero", "in_noise",
    # tables of the cell as looked up at x_z, x_degC: kept until SOC or temperature has moved on
    "x_z", "x_degC", "x_ocv", "x_m", "x_r0", "x_r1", "x_r2", "x_near", "x_far", "x_sigma", "x_local",
    "x_per_tau1", "x_per_tau2", "x_per_exchange", "x_gamma", "x_far_r",
)  # fmt: skip

FIELDS = len(NAMES)
WIDTH = FIELDS * LANES  # numbers per block
INDEX = {name: index for index, name in enumerate(NAMES)}
# What core/kernel.py is told of this table: lanes, numbers per block, and where in a block these fields begin
_STATE = ("z", "p00", "k", "model_v", "x_ocv", "x_z", "x_local")
_READ = (*_STATE, "react_q", "doubt_q", "start_z", "react_v", "x_sigma", "p44", "x_m")
PLACES = np.array([LANES, WIDTH, *(INDEX[name] * LANES for name in _READ)])
# … for what a step is given: lanes, width, then offset, last current, capacity, temperature, and the inputs
INPUT_PLACES = np.array(
    [
        LANES,
        WIDTH,
        *(INDEX[name] * LANES for name in ("b", "last_i", "capacity", "in_degC")),
        *(INDEX[name] * LANES for name in ("in_v", "in_i", "in_c", "in_degC", "in_known", "in_zero", "in_noise")),
    ]
)

STATE_WIDTH = 27  # six states and the upper triangle of their covariance
# what advance takes behind them, and returns with the model's voltage between
MEMORY = ("strain", "busy", "restless", "react_v", "react_q", "start_z", "model_v")
STATED = ("p00", "react_q", "doubt_q", "react_v", "x_m")  # what equations.stated makes sigma of
INPUT = INDEX["in_v"]
LOOKED_UP = INDEX["x_z"]

# Nodes of a cell's table over (temperature, SOC), and its rows over temperature
NODE = ("ocv", "hysteresis", "r0", "r1", "r2", "slope_near", "slope_far", "sigma")
NODE_WIDTH = len(NODE)
ROW_WIDTH = 5  # 1/tau1, 1/tau2, 1/exchange_A, gamma, relative variance of resistance that nobody measured

# A look-up holds until SOC has moved by HOLD_SOC or temperature by HOLD_K; between, the OCV runs on straight.
# Curvature costs less than 0.1 mV over that span even at the knee of an LFP cell.
HOLD_SOC = 1e-3
HOLD_K = 0.2
