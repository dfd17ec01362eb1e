#!/usr/bin/env bash
# Run stage one in several processes, kill one, and resume: the cache has the bytes of a run in one process.
# Then run it as two machines that share no disk. Needs only this checkout's environment; a minute on two cores.
# scale_simulation.sh [FOLDER [PROCESSES]]
set -euo pipefail
root=$(realpath --canonicalize-missing "${1:-scale}")
processes=${2:-4}
python=${PYTHON:-python}
cd "$(dirname "$0")/../.."

detect=(cli.py detect --data-root "$root" --runs "$root/runs" --detector demo --device cpu --workers 0 --shard-size 16)

# images, a detector trained for one epoch (its quality does not matter here), and a list of five copies of each image
$python cli.py synth --data-root "$root" --vehicles 10 --cameras-per-vehicle 2 --images-per-camera 2 --image-size 64
$python cli.py parts train --dataset synthetic --data-root "$root" --runs "$root/runs" --recipe demo --set epochs=1
for copy in 1 2 3 4 5; do
    mkdir -p "$root/all"
    cp -r "$root/synthetic/images" "$root/all/$copy"
done
(cd "$root" && echo name,vehicle_id,camera_id,split && find all -name "*.jpg" | sed "s/$/,1,1,train/") > "$root/all.csv"

echo "== one process"
$python "${detect[@]}" --dataset "$root/all.csv" --output "$root/one/parts.h5"

echo "== $processes processes; one is killed once the first shard exists"
shared=("${detect[@]}" --dataset "$root/all.csv" --output "$root/shared/parts.h5")
$python -m torch.distributed.run --standalone --nproc-per-node="$processes" "${shared[@]}" &
launcher=$!
until compgen -G "$root/shared/parts.h5.shards/*.h5" > "$root/shards.txt"; do
    kill -0 $launcher
    sleep 0.05
done
kill -KILL "$(pgrep -P $launcher | tail -n 1)"
if wait $launcher; then
    echo "torchrun did not notice"
    exit 1
fi
echo "== $(compgen -G "$root/shared/parts.h5.shards/*.h5" | wc -l) shards are finished, and there is no parts.h5"
test ! -e "$root/shared/parts.h5"

echo "== the same command again"
$python -m torch.distributed.run --standalone --nproc-per-node="$processes" "${shared[@]}"
cmp "$root/one/parts.h5" "$root/shared/parts.h5"

echo "== two machines without a shared disk: one list each, then a merge"
awk -v root="$root" 'NR == 1 { print > (root "/east.csv"); print > (root "/west.csv"); next }
    { print > (root (NR % 2 ? "/east.csv" : "/west.csv")) }' "$root/all.csv"
for machine in east west; do
    $python "${detect[@]}" --dataset "$root/$machine.csv" --output "$root/$machine/parts.h5"
done
$python cli.py cache merge "$root/merged/parts.h5" "$root/east/parts.h5" "$root/west/parts.h5" --dataset all
cmp "$root/one/parts.h5" "$root/merged/parts.h5"
echo "== the same bytes: one process, $processes of them with one killed, and two machines merged"
