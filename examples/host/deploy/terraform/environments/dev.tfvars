environment     = "dev"
account         = "343550350117"
owns_shared     = true
bucket          = "prd2011.dev1.us-east-1.vf-scoring.tmaws"
role            = "prd1541.titan.us-east-1.dev1.iam-kube-default"
features_upload = true
host            = "vf-code-srvc-dev.vf.nonprod9.us-east-1.tktm.io"
certificate_arn = "arn:aws:acm:us-east-1:234212695392:certificate/182d62fa-7cd8-4625-b6b5-86a2d4bea0dd"
