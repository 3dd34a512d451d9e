#!/bin/bash
# One sweep over the nodes of a SLURM job:  sbatch search/cluster/templates/slurm.sh
# A job that is preempted or reaches its time limit is requeued, and resumes the sweep called NAME.
# A job that is submitted again with the same NAME resumes it too.
#SBATCH --job-name=finesweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

NAME=${NAME:-photos}
DATA=${DATA:-$HOME/photos}             # only the first node reads it
RESULTS=${RESULTS:-$HOME/results}      # only the first node writes it
VENV=${VENV:-$HOME/finesweep/.venv}
OPTIONS=${OPTIONS:---space default --trials 60 --max-epochs 10}

source "$VENV/bin/activate"
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=${nodes[0]}:6379
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')

if [ -f "$RESULTS/$NAME/sweep.json" ]; then
    sweep=(resume "$NAME")
else
    read -r -a options <<< "$OPTIONS"
    sweep=(launch "$DATA" --name "$NAME" "${options[@]}")
fi

trap 'scontrol requeue "$SLURM_JOB_ID"' USR1  # two minutes before the time limit
srun ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    python -m finesweep "${sweep[@]}" --results-dir "$RESULTS" --address "$address" &
wait $!
