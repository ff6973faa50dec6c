# Uses bucket and role of prod.
environment     = "preprod"
account         = "889199535989"
owns_shared     = false
bucket          = "prd2011.prod1.us-east-1.vf-scoring.tmaws"
role            = "prd1541.titan.us-east-1.prod1.iam-kube-default"
host            = "vf-code-srvc.vf.preprod9.us-east-1.tktm.io"
certificate_arn = "arn:aws:acm:us-east-1:234212695392:certificate/182d62fa-7cd8-4625-b6b5-86a2d4bea0dd"
