#!/bin/bash
# One sweep over the nodes of a SLURM job:  sbatch search/clusters/slurm.sh
# Requeued, or sent again under the same NAME, it goes on where it was.
#SBATCH --job-name=finesweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

NAME=${NAME:-photos}
DATA=${DATA:-$HOME/photos}             # only the first node reads it
RESULTS=${RESULTS:-$HOME/results}      # only the first node writes it
ENVIRONMENT=${ENVIRONMENT:-$HOME/finesweep/.venv}
OPTIONS=${OPTIONS:---space default --trials 60 --max-epochs 10}

source "$ENVIRONMENT/bin/activate"
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$head:$((20000 + SLURM_JOB_ID % 10000))  # nodes may be shared
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')

if [ -f "$RESULTS/$NAME/sweep.json" ]; then
    sweep="resume $NAME"
else
    sweep="launch $DATA --name $NAME $OPTIONS"
fi

# shellcheck disable=SC2086  # the words of a command
srun ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    python -m search $sweep --results-dir "$RESULTS" --address "$address"
