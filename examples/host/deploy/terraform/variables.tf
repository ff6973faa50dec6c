variable "environment" {
  description = "dev, qa, preprod or prod."
  type        = string
  validation {
    condition     = contains(["dev", "qa", "preprod", "prod"], var.environment)
    error_message = "The environment is dev, qa, preprod or prod."
  }
}

variable "account" {
  description = "The account that everything is made in."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "An account is twelve digits."
  }
}

variable "region" {
  description = "The region that everything is made in."
  type        = string
  default     = "us-east-1"
}

variable "owns_shared" {
  description = "Whether this environment makes bucket and role. qa uses those of dev, and preprod those of prod."
  type        = bool
}

variable "owns_registry" {
  description = "Whether this environment makes the repository of the images; one does, for all."
  type        = bool
  default     = false
}

variable "bucket" {
  description = "The scoring bucket, which files of codes are read from."
  type        = string
}

variable "role" {
  description = "Name of the role that the pods take."
  type        = string
}

variable "features_upload" {
  description = "Whether the role may write below codes/features-, where the features put their files."
  type        = bool
  default     = false
}

variable "service_account" {
  description = "For IRSA: the pods' service account, as namespace:name. The release's name, if the chart creates it."
  type        = string
  default     = "prd1541:default"
}

variable "oidc_provider_arns" {
  description = "For IRSA: the OIDC providers, in the account of the role, of the clusters whose service account takes it."
  type        = list(string)
  default     = []
}

variable "node_role_arns" {
  description = "For kube2iam: the roles of the nodes, which take the pods' role for them."
  type        = list(string)
  default     = []
}

variable "pull_accounts" {
  description = "Other accounts that nodes pull images with."
  type        = list(string)
  default     = []
}

variable "host" {
  description = "The name that callers use."
  type        = string
}

variable "certificate_arn" {
  description = "The certificate of that name; null if none is known. It is made elsewhere: the ingress refers to it."
  type        = string
  default     = null
  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws:acm:us-east-1:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "The certificate is the ARN of one of ACM in us-east-1."
  }
}

variable "zone_id" {
  description = "The hosted zone of that name; without it no record is made."
  type        = string
  default     = null
}

variable "load_balancer" {
  description = "DNS name of the load balancer: the address of the ingress, which is known once the chart is installed."
  type        = string
  default     = null
}
