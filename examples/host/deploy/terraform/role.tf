# What the pods may do: read files of codes, and nothing else.

locals {
  # Either way of giving a pod its role, or both while a cluster moves from one to the other.
  by_service_account = [for arn in var.oidc_provider_arns : {
    Sid       = "ByServiceAccount"
    Effect    = "Allow"
    Action    = "sts:AssumeRoleWithWebIdentity"
    Principal = { Federated = arn }
    Condition = { StringEquals = {
      "${split("oidc-provider/", arn)[1]}:sub" = "system:serviceaccount:${var.service_account}"
      "${split("oidc-provider/", arn)[1]}:aud" = "sts.amazonaws.com"
    } }
  }]
  by_node = [for arn in var.node_role_arns : {
    Sid       = "ByNode"
    Effect    = "Allow"
    Action    = "sts:AssumeRole"
    Principal = { AWS = arn }
  }]
  # It may not list the bucket: a file that is not there is refused as one that may not be read, which the host knows.
  reads = {
    Sid      = "ReadFilesOfCodes"
    Effect   = "Allow"
    Action   = ["s3:GetObject"]
    Resource = "${local.bucket_arn}/codes/*"
  }
  features = {
    Sid      = "FilesOfTheFeatures"
    Effect   = "Allow"
    Action   = ["s3:PutObject", "s3:DeleteObject"]
    Resource = "${local.bucket_arn}/codes/features-*"
  }
}

resource "aws_iam_role" "pods" {
  count       = var.owns_shared ? 1 : 0
  name        = var.role
  description = "The pods of code-service"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    # Numbered, because one policy may not have two statements of one name.
    Statement = [for number, statement in concat(local.by_service_account, local.by_node) :
      merge(statement, { Sid = "${statement.Sid}${number}" })
    ]
  })
  lifecycle {
    precondition {
      condition     = length(var.oidc_provider_arns) + length(var.node_role_arns) > 0
      error_message = "Nobody could take the role: set oidc_provider_arns (IRSA) or node_role_arns (kube2iam)."
    }
  }
}

resource "aws_iam_role_policy" "pods" {
  count = var.owns_shared ? 1 : 0
  name  = "code-service"
  role  = aws_iam_role.pods[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.reads], [for statement in [local.features] : statement if var.features_upload])
  })
}
