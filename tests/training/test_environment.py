import pytest

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.training.environment import ProcessInfo, read_process_info

SLURM = {"SLURM_STEP_NODELIST": "node[003-006,9],other", "SLURM_JOB_ID": "4097", "SLURM_PROCID": "2"}
SLURM["SLURM_STEP_NUM_TASKS"] = "4"
JAXJOB = {"COORDINATOR_ADDRESS": "job-0.ns", "COORDINATOR_PORT": "1234", "NUM_PROCESSES": "3", "PROCESS_ID": "0"}
TORCH = {"MASTER_ADDR": "master", "MASTER_PORT": "23456", "WORLD_SIZE": "2", "RANK": "1"}
PLAIN = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:99,10.0.0.2:99",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
}


def without(name: str, environment: dict[str, str]) -> dict[str, str]:
    return {other: value for other, value in environment.items() if other != name}


@pytest.mark.parametrize(
    ("environment", "info"),
    [
        (SLURM, ProcessInfo("node003:61441", 4, 2)),
        ({**SLURM, "SLURM_STEP_NODELIST": "a-1.b,c"}, ProcessInfo("a-1.b:61441", 4, 2)),
        (JAXJOB, ProcessInfo("job-0.ns:1234", 3, 0)),
        (TORCH, ProcessInfo("master:23456", 2, 1)),
        (PLAIN, ProcessInfo("10.0.0.1:99", 2, 1)),
        ({**SLURM, **TORCH, **PLAIN}, ProcessInfo("10.0.0.1:99", 2, 1)),
        ({**SLURM, **TORCH}, ProcessInfo("master:23456", 2, 1)),
        ({**TORCH, "WORLD_SIZE": "1"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, None),  # a batch script outside srun is one process
        ({**PLAIN, "RANK": "0"}, ProcessInfo("10.0.0.1:99", 2, 1)),
        ({**PLAIN, "KERAS_DISTRIBUTION_JOB_ADDRESSES": "[::1]:65535"}, ProcessInfo("[::1]:65535", 2, 1)),
        ({"MASTER_ADDR": "master", "MASTER_PORT": "1"}, None),
        ({}, None),
    ],
)
def test_variables_of_each_launcher_are_read(environment: dict[str, str], info: ProcessInfo | None) -> None:
    assert read_process_info(environment) == info


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({**TORCH, "RANK": "2"}, "RANK: must be a whole number from 0 to 1, got '2'"),
        ({**TORCH, "WORLD_SIZE": "two"}, "WORLD_SIZE: must be a whole number from 1 to 1048576, got 'two'"),
        ({**SLURM, "SLURM_JOB_ID": "?"}, "SLURM_JOB_ID: must be a whole number"),
        (without("MASTER_PORT", TORCH), "MASTER_PORT: must be set, because RANK is set"),
        ({**TORCH, "MASTER_ADDR": ""}, "MASTER_ADDR: must be set, because RANK is set"),
        (without("PROCESS_ID", JAXJOB), "PROCESS_ID: must be set, because NUM_PROCESSES is set"),
        ({"PROCESS_ID": "1"}, "NUM_PROCESSES: must be set, because PROCESS_ID is set"),
        ({"PROCESS_ID": "1", **SLURM}, "NUM_PROCESSES: must be set, because PROCESS_ID is set"),
        (
            without("KERAS_DISTRIBUTION_NUM_PROCESSES", PLAIN),
            "KERAS_DISTRIBUTION_NUM_PROCESSES: must be set, because KERAS_DISTRIBUTION_PROCESS_ID is set",
        ),
        ({**TORCH, "MASTER_PORT": "nope"}, "MASTER_PORT: must be a whole number from 1 to 65535, got 'nope'"),
        ({**JAXJOB, "COORDINATOR_PORT": "0"}, "COORDINATOR_PORT: must be a whole number from 1 to 65535, got '0'"),
        ({**JAXJOB, "COORDINATOR_PORT": "65536"}, "COORDINATOR_PORT: must be .* got '65536'"),
        ({**PLAIN, "KERAS_DISTRIBUTION_JOB_ADDRESSES": "host"}, "JOB_ADDRESSES: must be host:port, got 'host'"),
        ({**PLAIN, "KERAS_DISTRIBUTION_JOB_ADDRESSES": "host:"}, "JOB_ADDRESSES: must be .* 65535, got ''"),
    ],
)
def test_errors_name_the_variable(environment: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_process_info(environment)
