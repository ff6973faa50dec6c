environment   = "prod"
account       = "889199535989"
owns_shared   = true
owns_registry = true
bucket        = "prd2011.prod1.us-east-1.vf-scoring.tmaws"
role          = "prd1541.titan.us-east-1.prod1.iam-kube-default"
# Nodes pull with roles of the account that their cluster is in. No cluster's account is known: these are inferred, and
# must be checked before anything is applied. They are all that are known of beside this one: that of dev's role, and
# those of the certificates of prod, and of preprod and dev. Leave away those that no cluster is in.
pull_accounts   = ["343550350117", "667096744268", "234212695392"]
host            = "vf-code-srvc.vf.prod9.us-east-1.tktm.io"
certificate_arn = "arn:aws:acm:us-east-1:667096744268:certificate/763fdb83-0bc0-4398-8687-8245469626d8"
