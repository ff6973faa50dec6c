# Uses bucket and role of dev. No certificate of its own is known.
environment = "qa"
account     = "343550350117"
owns_shared = false
bucket      = "prd2011.dev1.us-east-1.vf-scoring.tmaws"
role        = "prd1541.titan.us-east-1.dev1.iam-kube-default"
host        = "vf-code-srvc-qa.vf.nonprod9.us-east-1.tktm.io"
