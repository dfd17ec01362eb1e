#!/usr/bin/env bash
# Stage one by several processes, one of which is killed: the same command goes on, and makes the cache of one process.
# Then as two machines do it that share no disk. Needs nothing but this checkout's environment; a minute on two cores.
# scale_simulation.sh [FOLDER [PROCESSES]]
set -euo pipefail
place=$(realpath --canonicalize-missing "${1:-scale}")
processes=${2:-4}
python=${PYTHON:-python}
cd "$(dirname "$0")/../.."

detect=(cli.py detect --data-root "$place" --runs "$place/runs" --recipe demo --device cpu --workers 0 --shard-size 16)

# pictures, a detector of one epoch (what it finds does not matter here), and the list of five copies of each picture
$python cli.py synth --data-root "$place" --vehicles 10 --cameras-per-vehicle 2 --images-per-camera 2 --image-size 64
$python cli.py parts train --dataset synthetic --data-root "$place" --runs "$place/runs" --recipe demo --set epochs=1
for copy in 1 2 3 4 5; do
    mkdir -p "$place/all"
    cp -r "$place/synthetic/images" "$place/all/$copy"
done
(cd "$place" && echo name,vehicle_id,camera_id,split && find all -name "*.jpg" | sed "s/$/,1,1,train/") > "$place/all.csv"

echo "== one process"
$python "${detect[@]}" --dataset "$place/all.csv" --output "$place/one/parts.h5"

echo "== $processes processes; one is killed when the first shard is there"
shared=("${detect[@]}" --dataset "$place/all.csv" --output "$place/shared/parts.h5")
$python -m torch.distributed.run --standalone --nproc-per-node="$processes" "${shared[@]}" &
launcher=$!
until compgen -G "$place/shared/parts.h5.shards/*.h5" > "$place/shards.txt"; do
    kill -0 $launcher
    sleep 0.05
done
kill -KILL "$(pgrep -P $launcher | tail -n 1)"
if wait $launcher; then
    echo "torchrun did not notice"
    exit 1
fi
echo "== left: $(compgen -G "$place/shared/parts.h5.shards/*.h5" | wc -l) shards, and no parts.h5"
test ! -e "$place/shared/parts.h5"

echo "== the same command again"
$python -m torch.distributed.run --standalone --nproc-per-node="$processes" "${shared[@]}"
cmp "$place/one/parts.h5" "$place/shared/parts.h5"

echo "== two machines without a common disk: a list each, then a merge"
awk -v place="$place" 'NR == 1 { print > (place "/east.csv"); print > (place "/west.csv"); next }
    { print > (place (NR % 2 ? "/east.csv" : "/west.csv")) }' "$place/all.csv"
for machine in east west; do
    $python "${detect[@]}" --dataset "$place/$machine.csv" --output "$place/$machine/parts.h5"
done
$python cli.py cache merge "$place/merged/parts.h5" "$place/east/parts.h5" "$place/west/parts.h5" --dataset all
cmp "$place/one/parts.h5" "$place/merged/parts.h5"
echo "== the same bytes: one process, $processes of them with one killed, and two machines merged"
