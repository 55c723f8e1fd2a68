#!/usr/bin/env bash
# A real Slurm on this machine, of two nodes, on ports of the loopback: for tests, by root, without systemd.
#
#   tests/cluster/slurm_local.sh install          Debian's packages, where they are missing (apt-get)
#   tests/cluster/slurm_local.sh start FOLDER     everything lies in FOLDER; then SLURM_CONF=FOLDER/slurm.conf
#   tests/cluster/slurm_local.sh node FOLDER n1   (re)start one node
#   tests/cluster/slurm_local.sh stop FOLDER
#
# No accounting storage, so no sacct; arrays of at most 20; jobs of the partition `urgent` push those of `main` away.
set -euo pipefail
nodes=(n1 n2)

install() {
  if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends slurm-wlm munge
  fi
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

configure() {
  cat >slurm.conf <<EOF
ClusterName=local
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=2,sched_min_interval=500000,batch_sched_delay=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize=21
ReturnToService=2
SlurmdTimeout=6
KillWait=5
MinJobAge=60
SlurmdParameters=config_overrides
MailProg=/bin/true
EOF
  for node in "${nodes[@]}"; do
    mkdir -p "$node"
    echo "NodeName=$node NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2 State=UNKNOWN" >>slurm.conf
  done
  echo "PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1" >>slurm.conf
  echo "PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10" >>slurm.conf
  : >cgroup.conf
}

start() {
  mkdir -p "$folder/state"
  cd "$folder"
  [ -e slurm.conf ] || configure
  chmod 755 "$folder"
  head -c 128 /dev/urandom >munge.key
  chmod 600 munge.key
  munged --force --key-file=munge.key --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
  slurmctld -f "$folder/slurm.conf"
  for node in "${nodes[@]}"; do start_node "$node"; done
  for _ in $(seq 100); do
    [ "$(SLURM_CONF="$folder/slurm.conf" sinfo -h -N -p main -t idle -o %N 2>/dev/null | wc -l)" = ${#nodes[@]} ] && return
    sleep 0.3
  done
  tail -n 5 ./*.log >&2
  return 1
}

start_node() { slurmd -f "$folder/slurm.conf" -N "$1"; }

stop() {
  cd "$folder"
  for name in n1 n2 slurmctld munged; do
    [ -e $name.pid ] || continue
    kill "$(cat $name.pid)" 2>/dev/null || true
  done
  for _ in $(seq 50); do
    alive=0
    for name in n1 n2 slurmctld munged; do
      if [ -e $name.pid ] && kill -0 "$(cat $name.pid)" 2>/dev/null; then alive=1; fi
    done
    [ $alive = 0 ] && return
    sleep 0.2
  done
}

folder=$(realpath -m "${2:-/nowhere}")
case ${1:-} in
install) install ;;
start) start ;;
node) start_node "$3" ;;
stop) stop ;;
*)
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
