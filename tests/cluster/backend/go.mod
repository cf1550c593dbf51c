module sluice.dev/tests/cluster/backend

go 1.24
