# The scoring bucket: private, encrypted, versioned, and asked over TLS only.

resource "aws_s3_bucket" "scoring" {
  count  = var.owns_shared ? 1 : 0
  bucket = var.bucket
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "scoring" {
  count                   = var.owns_shared ? 1 : 0
  bucket                  = aws_s3_bucket.scoring[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# No access lists: only policies decide.
resource "aws_s3_bucket_ownership_controls" "scoring" {
  count  = var.owns_shared ? 1 : 0
  bucket = aws_s3_bucket.scoring[0].id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "scoring" {
  count  = var.owns_shared ? 1 : 0
  bucket = aws_s3_bucket.scoring[0].id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "scoring" {
  count  = var.owns_shared ? 1 : 0
  bucket = aws_s3_bucket.scoring[0].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "scoring" {
  count  = var.owns_shared ? 1 : 0
  bucket = aws_s3_bucket.scoring[0].id
  rule {
    id     = "what-nobody-needs"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
  # Or the rule about older versions would mean nothing.
  depends_on = [aws_s3_bucket_versioning.scoring]
}

resource "aws_s3_bucket_policy" "scoring" {
  count  = var.owns_shared ? 1 : 0
  bucket = aws_s3_bucket.scoring[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  # A policy for everybody, even one that only denies, is looked at by the block of public policies.
  depends_on = [aws_s3_bucket_public_access_block.scoring]
}

locals {
  bucket_arn = "arn:aws:s3:::${var.bucket}"
}
